/// Decodes a value from its textual form: values stay readable in the store, in the API and in logs.
func decodeFromString<Value: LosslessStringConvertible>(_ decoder: any Decoder) throws -> Value {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Value(text) else {
        throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is not a \(Value.self)")
    }
    return value
}

func encodeAsString(_ value: some LosslessStringConvertible, _ encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value.description)
}
