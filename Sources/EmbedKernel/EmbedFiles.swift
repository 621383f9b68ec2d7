// Files, element types and arrays are of the module EmbedFiles, which a program that imports this one
// has too.

@_exported public import EmbedFiles
