// Files, element types and arrays: a program that imports this module has those of EmbedFiles too.

@_exported public import EmbedFiles
