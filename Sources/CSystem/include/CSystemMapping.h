// Files in memory whose faults are errors of a call: a page that cannot be read (the file was cut
// short, the disk failed) sends SIGBUS, which ends a process. While a call reads such a file, the
// signal is taken: the file's pages become zeros, so that the loop that touched them ends, and the
// call learns of it.
//
// What is not touched within `cs_mapping_enter` and `cs_mapping_leave`, and every address that is
// in no mapping of ours, goes to the handler that was there before, or to the system's own.
#ifndef CSYSTEM_MAPPING_H
#define CSYSTEM_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A file's first bytes in memory, to be read only.
typedef struct cs_mapping cs_mapping;

/// What is wrong with a mapping, from when it was found on.
typedef enum cs_fault {
  cs_no_fault,
  cs_fault_shorter,   ///< The file ends before the mapping does.
  cs_fault_changed,   ///< It was written to after it was mapped.
  cs_fault_examined,  ///< The system does not tell its size.
  cs_fault_page,      ///< A page could not be read.
} cs_fault;

/// Maps the first `count` bytes, 1 or more, of `file`, which may be closed afterwards. NULL with
/// `errno`.
///
/// \param in_pages   Pages are mapped by 64 KiB at most, whatever the page cache holds them in, so
/// that
///                   what is resident can be bounded.
cs_mapping *cs_mapping_make(int file, size_t count, const char *path, bool in_pages);

/// Gives the pages back. Nobody may be reading.
void cs_mapping_free(cs_mapping *mapping);

/// The mapping that all of `count` bytes lie in; NULL where they are in none.
cs_mapping *cs_mapping_of(const void *address, size_t count);

void *cs_mapping_address(const cs_mapping *mapping);
size_t cs_mapping_size(const cs_mapping *mapping);
const char *cs_mapping_path(const cs_mapping *mapping);

/// Begins a call that reads; false, and the call is over, where the mapping has a fault.
bool cs_mapping_enter(cs_mapping *mapping);

/// Ends a call; false where what it read has no meaning. A mapping with pages that were lost cannot
/// be read any more when its last call has ended.
bool cs_mapping_leave(cs_mapping *mapping);

/// The first fault that was found, and its offset in the file.
cs_fault cs_mapping_fault(const cs_mapping *mapping, size_t *offset);

// What follows is called between enter and leave, with an offset at a page and a range inside.

/// Asks for a range to be read, and does not wait.
void cs_mapping_ask(cs_mapping *mapping, size_t offset, size_t count);

/// Waits until a range is in memory, and maps its pages; false where one cannot be read.
bool cs_mapping_fill(cs_mapping *mapping, size_t offset, size_t count);

/// Reads a range into the page cache and waits, in pages of 2 MiB where the file system has such,
/// so that few entries map it afterwards. What is in the cache already stays as it is.
void cs_mapping_read_large(cs_mapping *mapping, size_t offset, size_t count);

/// Gives a range's pages back, of this process and of the page cache.
void cs_mapping_drop(cs_mapping *mapping, size_t offset, size_t count);

/// Takes a range's pages from this process; the page cache keeps them.
void cs_mapping_unmap(cs_mapping *mapping, size_t offset, size_t count);

/// A bit for each of up to 16 pages: whether it is in the page cache.
unsigned cs_mapping_cached(const cs_mapping *mapping, size_t offset, size_t count);

#endif
