import WeftModel
import WeftText

/// A secret or a config. What a secret holds is shown to nobody.
func sharedFileJSON<File: SharedFile>(_ file: File) -> JSON {
    var spec = Members()
    spec.add("Name", .string(file.spec.name))
    spec.add("Labels", .map(file.spec.labels))
    if File.kind != StoredSecret.kind { spec.add("Data", ifSaid: file.spec.data.exposed) }
    spec.add("Templating", ifThere: file.spec.templating.map(driverJSON))
    var members = metaJSON(file.id, file.version, file.createdAt, file.updatedAt)
    members.add("Spec", spec.json)
    return members.json
}
