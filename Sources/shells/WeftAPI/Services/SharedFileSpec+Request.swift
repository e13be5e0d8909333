import WeftModel
import WeftText

extension SharedFileSpec {
    /// Reads the body of `POST /secrets/create` and its like.
    ///
    /// - Parameter kind: `secret` or `config`.
    init(_ fields: Fields, kind: String) throws(APIError) {
        try fields.refuse("Driver", because: "what is secret is kept by the swarm itself; give its data")
        let data = try fields.string("Data") ?? ""
        guard let text = Base64.canonical(data) else {
            throw .badRequest("\(fields.name("Data")) is not base 64: give the content in that form")
        }
        self.init(name: try fields.string("Name") ?? "", data: Secret(text))
        labels = try fields.map("Labels")
        guard let sent = try fields.fields("Templating") else { return }
        let driver = LogDriver(name: try sent.string("Name") ?? "", options: try sent.map("Options"))
        guard driver.name == "golang" else {
            throw .unavailable("\(sent.name("Name")) \"\(driver.name)\" is not available in this version of Weft: there is golang")
        }
        templating = driver
    }
}
