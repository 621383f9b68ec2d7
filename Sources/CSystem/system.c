#define _GNU_SOURCE
#include "CSystem.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

// Darwin refuses a transfer over 2 GiB and Linux cuts it short, so both are given less.
enum { largest_transfer = 1 << 30, huge_page = 1 << 21 };

ssize_t cs_read(int file, void *bytes, size_t count, off_t offset) {
  size_t done = 0;
  while (done < count) {
    size_t part = count - done < largest_transfer ? count - done : largest_transfer;
    ssize_t got = offset < 0 ? read(file, (char *)bytes + done, part)
                             : pread(file, (char *)bytes + done, part, offset + (off_t)done);
    if (got == 0) break;
    if (got > 0)
      done += (size_t)got;
    else if (errno != EINTR)
      return -1;
  }
  return (ssize_t)done;
}

bool cs_write(int file, const void *bytes, size_t count, off_t offset) {
  size_t done = 0;
  while (done < count) {
    size_t part = count - done < largest_transfer ? count - done : largest_transfer;
    ssize_t put = offset < 0 ? write(file, (const char *)bytes + done, part)
                             : pwrite(file, (const char *)bytes + done, part, offset + (off_t)done);
    if (put > 0) {
      done += (size_t)put;
    } else if (put == 0) {
      errno = EIO;
      return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

int cs_terminal_columns(int file) {
  struct winsize size;
  return ioctl(file, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void *cs_map(size_t count) {
  void *pages = mmap(NULL, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return NULL;
  cs_advise_huge_pages(pages, count);
  return pages;
}

bool cs_has_address_space(size_t count) {
  void *pages = mmap(NULL, count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return false;
  munmap(pages, count);
  return true;
}

void cs_advise_huge_pages(void *address, size_t count) {
#ifdef MADV_HUGEPAGE
  if (count >= huge_page) madvise(address, count, MADV_HUGEPAGE);
#else
  (void)address;
  (void)count;
#endif
}
