// A plugin of QEMU's user mode that counts the instructions of kernels: of all translated blocks
// that run between two marks of the program (check.h), the plain set's and the other's, kernel by
// kernel.
//
// Debian has QEMU without the header of its plugins, so what is called is declared here.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../marks.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*on_run)(unsigned cpu, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_run, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, on_run, int flags,
                                            void *data);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = QEMU_PLUGIN_API;

enum { MOST_KERNELS = 256 };
static uint64_t counts[MOST_KERNELS][2];
static size_t kernels;
static int counting = -1;
static FILE *out;

static void count(unsigned cpu, void *instructions) {
  (void)cpu;
  if (counting >= 0 && kernels > 0) counts[kernels - 1][counting] += (uintptr_t)instructions;
}

static void mark(unsigned cpu, void *data) {
  (void)cpu;
  const uintptr_t number = (uintptr_t)data;
  if (number == MARK_KERNEL && kernels < MOST_KERNELS) kernels++;
  counting = number == MARK_PLAIN ? 0 : number == MARK_OTHER ? 1 : -1;
}

/// A block with marks is the program's own and not counted.
static void translate(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  int marks = 0;
  const size_t size = qemu_plugin_tb_n_insns(block);
  for (size_t i = 0; i < size; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
    const uint32_t number = (word ^ 0xD503201F) >> 5;
    if ((word & 0xFFFFF01F) != 0xD503201F || number < MARK_PLAIN || number > MARK_KERNEL) continue;
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, mark, 0, (void *)(uintptr_t)number);
    marks++;
  }
  if (!marks) qemu_plugin_register_vcpu_tb_exec_cb(block, count, 0, (void *)(uintptr_t)size);
}

static void finish(plugin_id id, void *data) {
  (void)id, (void)data;
  for (size_t k = 0; k < kernels; k++)
    fprintf(out, "%llu %llu\n", (unsigned long long)counts[k][0], (unsigned long long)counts[k][1]);
  fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments) {
  (void)info;
  const char *path = count == 1 && strncmp(arguments[0], "out=", 4) == 0 ? arguments[0] + 4 : NULL;
  out = path ? fopen(path, "w") : NULL;
  if (!out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_atexit_cb(id, finish, NULL);
  return 0;
}
