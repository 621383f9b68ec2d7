// A text for `demo` where set-up has fetched none.

/// A few sentences written for this project: more than 33 tokens by either tokenizer.
let sampleText = """
  The cat sat on the mat by the door, and the rain went on. Nobody had told the cat that the mat
  was new, or that it was meant for boots. By evening the mat was warm, the boots stood in the
  hall, and the matter was settled.
  """
