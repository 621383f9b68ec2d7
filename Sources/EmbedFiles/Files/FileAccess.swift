// The choice between a copy of a file's elements and the file itself.

/// How a file's elements come into memory.
public enum FileAccess: Equatable, Sendable {
  /// Read into memory of their own, in huge pages where there are 2 MiB or more: the faster choice
  /// for a table whose rows are picked at random, and independent of the file from then on.
  case copied

  /// Mapped: pages are read when first touched and belong to the page cache, so that opening is
  /// immediate and a file may exceed the memory. The file must not be written to meanwhile: calls on
  /// tables then throw, but the system ends a process that itself touches a page which is gone. Data
  /// that do not begin at a multiple of the element's size are copied instead.
  case mapped

  /// The same in pages of the smallest size, so that what is resident can be bounded: large ones, which
  /// `mapped` takes where the page cache has them, are resident whole when a byte is read.
  case mappedInPages
}
