import CDatapathABI
import Testing
import WeftModel
import WeftNet

@Test("What the programs' header has of the constants is the same")
func constantsOfTheHeader() {
    #expect(WEFT_RESOLVER_IPV4 == Constants.resolver.rawValue)
    #expect("\(Constants.resolver)" == "169.254.77.53")
}
