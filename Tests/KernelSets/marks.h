// Instructions that do nothing but tell an emulator's plugin where a kernel begins and ends.
#ifndef EMBEDKERNEL_KERNEL_SETS_MARKS_H
#define EMBEDKERNEL_KERNEL_SETS_MARKS_H

/// Numbers of AArch64's hints that have no meaning yet.
enum { MARK_PLAIN = 0x60, MARK_OTHER, MARK_END, MARK_KERNEL };

#if defined(__aarch64__)
#define MARK(number) __asm__ volatile("hint #%0" ::"i"(number) : "memory")
#else
#define MARK(number) __asm__ volatile("" ::"i"(number) : "memory")
#endif

#endif
