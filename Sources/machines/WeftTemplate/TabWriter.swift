/// Aligns cells that end in a tab, as Go's `text/tabwriter` does: a column is a block of lines that follow each other
/// and have a cell there.
struct TabWriter {
    var widthMin = 10
    var padding = 3

    func format(_ text: String) -> String {
        var lines: [[String]] = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map {
            line in
            line.split(separator: "\t", omittingEmptySubsequences: false).map { String($0) }
        }
        let ended = lines.last == [""]
        if ended { lines.removeLast() }
        var output: [String] = Array(repeating: "", count: lines.count)
        align(lines, lines.indices, column: 0, &output)
        return output.joined(separator: "\n") + (ended ? "\n" : "")
    }

    private func align(_ lines: [[String]], _ range: Range<Int>, column: Int, _ output: inout [String]) {
        var index = range.lowerBound
        while index < range.upperBound {
            guard column < lines[index].count - 1 else {
                output[index] += lines[index][column]
                index += 1
                continue
            }
            var end = index
            var width = widthMin
            while end < range.upperBound, column < lines[end].count - 1 {
                width = max(width, lines[end][column].unicodeScalars.count + padding)
                end += 1
            }
            for line in index..<end {
                output[line] += GoFormat.padded(lines[line][column], to: width, with: " ", left: true)
            }
            align(lines, index..<end, column: column + 1, &output)
            index = end
        }
    }
}
