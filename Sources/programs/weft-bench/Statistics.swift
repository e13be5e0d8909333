/// The value in the middle; nil for none.
func median(_ values: [Double]) -> Double? { percentile(values, 50) }

/// The `percent`-th percentile by linear interpolation; nil for no values.
func percentile(_ values: [Double], _ percent: Double) -> Double? {
    let sorted = values.sorted()
    guard let last = sorted.indices.last else { return nil }
    let place = Double(last) * percent / 100
    let low = Int(place)
    let high = min(low + 1, last)
    return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
}

/// Text in a column of `width`, to the right.
func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

/// Text in a column of `width`, to the left.
func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

/// A number with `digits` decimals.
func decimal(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let whole = (value * scale).rounded()
    guard whole.isFinite, abs(whole) < 1e15 else { return "–" }
    let number = Int64(abs(whole))
    let fraction = String(number % Int64(scale))
    let padded = String(repeating: "0", count: max(0, digits - fraction.count)) + fraction
    return (whole < 0 ? "-" : "") + String(number / Int64(scale)) + (digits > 0 ? ".\(padded)" : "")
}
