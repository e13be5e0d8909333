import Testing
import WeftControl
import WeftModel

@Suite("Specs that many tasks have")
struct SharedSpecTests {
    @Test("Tasks of a service have its spec in one place, also when each was read on its own")
    func sharedSpecs() throws {
        var swarm = try Swarm.withWorkers(2)
        let service = try swarm.serve("web", .replicated(20)) { $0.task.container.environment = ["A=1"] }
        try swarm.obey()
        func isOne(_ tasks: [ServiceTask]) -> Bool { tasks.dropFirst().allSatisfy { $0.sharedSpec.isOne(with: tasks[0].sharedSpec) } }
        #expect(isOne(swarm.tasks(service.id)))
        // As out of a store.
        let read = swarm.tasks(service.id).map { task in
            ServiceTask(
                id: task.id, createdAt: task.createdAt, of: service, slot: task.slot, node: nil, desiredState: .running,
                status: task.status)
        }
        #expect(!isOne(read) && Set(read.map(\.spec)).count == 1)
        let replica = Replica(StoreSnapshot(revision: Version(9), objects: read.map { StoredObject($0) }))
        let tasks = replica.all(ServiceTask.self)
        #expect(tasks.count == 20 && isOne(tasks))
        try swarm.update(service.id) { $0.task.container.environment = ["A=2"] }
        let (old, new) = (swarm.tasks(service.id).filter { $0.spec.container.environment == ["A=1"] }, swarm.wanted(service.id))
        #expect(!old.isEmpty && isOne(old) && new.contains { $0.spec.container.environment == ["A=2"] })
    }
}
