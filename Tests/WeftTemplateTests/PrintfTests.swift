import Testing
import WeftTemplate

@Test(
    "printf as Go's",
    arguments: [
        ("{{printf \"%s|%5s|%-5s|%.2s\" \"abc\" \"abc\" \"abc\" \"abc\"}}", "abc|  abc|abc  |ab"),
        ("{{printf \"%d|%5d|%-5d|%05d|%+d|% d\" 42 42 42 -42 42 42}}", "42|   42|42   |-0042|+42| 42"),
        ("{{printf \"%x %X %#x %o %b %c %U\" 255 255 255 8 5 65 233}}", "ff FF 0xff 10 101 A U+00E9"),
        ("{{printf \"%q %v %t %T %T\" \"a\\\"b\\n\" 1.5 true 1 \"x\"}}", "\"a\\\"b\\n\" 1.5 true int string"),
        (
            "{{printf \"%.2f %.0f %f %8.3f|%-8.1f|%08.2f\" 2.675 2.5 1.5 3.14159 2.25 -1.5}}",
            "2.67 2 1.500000    3.142|2.2     |-0001.50"
        ),
        (
            "{{printf \"%e %.2e %g %g\" 123456.789 0.00012345 1000000.5 0.00001}}",
            "1.234568e+05 1.23e-04 1.0000005e+06 1e-05"
        ),
        ("{{printf \"%.3f %.1f %.2f\" 0.0005 9.96 999.999}}", "0.001 10.0 1000.00"),
        ("{{printf \"%*d|%-*d|\" 5 42 4 7}}", "   42|7   |"),
        ("{{printf \"100%% %s\" \"x\"}}", "100% x"),
        ("{{printf \"%d\" \"x\"}}", "%!d(string=x)"),
        ("{{printf \"%s %s\" \"x\"}}", "x %!s(MISSING)"),
        ("{{printf \"%s\" \"x\" \"y\" 3}}", "x%!(EXTRA string=y, int=3)"),
        ("{{printf \"%\"}}", "%!(NOVERB)"),
        ("{{printf \"%v\" .Names}} {{printf \"%q\" .Names}}", "[a1 a2 a3] [\"a1\" \"a2\" \"a3\"]"),
        ("{{printf \"%x\" \"hello\"}} {{printf \"% X\" \"hi\"}}", "68656c6c6f 68 69"),
    ])
func printf(template: String, expected: String) throws {
    #expect(try render(template) == expected)
}

@Test(
    "floating-point numbers print as Go's",
    arguments: [
        (1e20, "1e+20"), (123456, "123456"), (1_000_000, "1e+06"), (0.0001, "0.0001"), (0.00001, "1e-05"),
        (-0.5, "-0.5"), (100, "100"),
        (123456789.125, "1.23456789125e+08"), (0.1 + 0.2, "0.30000000000000004"), (.leastNonzeroMagnitude, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ])
func doubles(number: Double, expected: String) throws {
    #expect(try render("{{.}}", .double(number)) == expected)
}
