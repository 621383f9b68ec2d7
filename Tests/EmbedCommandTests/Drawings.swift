// What every drawing must hold to.

import Foundation

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// Whether a drawing is XML.
func isWellFormed(_ svg: String) -> Bool { XMLParser(data: Data(svg.utf8)).parse() }

/// Whether a drawing's text has what is no number where one should be.
func holdsNoNumber(_ svg: String) -> Bool {
  let text = svg.lowercased()
  return text.contains("nan") || text.contains("inf")
}
