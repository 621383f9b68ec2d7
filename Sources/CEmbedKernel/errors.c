// The error of each thread. Its texts lie in memory of the thread itself, so that telling an error
// can't fail and leaves nothing behind.
#include "CEmbedKernelSupport.h"

#include <math.h>
#include <string.h>

typedef struct texts {
  char kind[64];
  char message[4096];
  char argument[512];
  char path[4096];
} texts;

static const ek_error no_error = {
    .code = EK_OK,
    .kind = "",
    .message = "",
    .argument = "",
    .path = "",
    .row = EK_NONE,
    .position = EK_NONE,
    .value = EK_NONE,
    .bound = EK_NONE,
    .number = NAN,
};

static _Thread_local texts texts_;
static _Thread_local ek_error error_;
static _Thread_local bool is_set;

/// Copies a text as far as there is room, whole characters of UTF-8 only.
static const char *copy(char *to, size_t room, const char *from) {
  size_t length = from == NULL ? 0 : strlen(from);
  if (length >= room) {
    length = room - 1;
    while (length > 0 && ((unsigned char)from[length] & 0xC0) == 0x80) length--;
  }
  if (length > 0) memcpy(to, from, length);
  to[length] = 0;
  return to;
}

void ekc_set_error(const ek_error *error) {
  ek_error set = *error;
  set.kind = copy(texts_.kind, sizeof texts_.kind, error->kind);
  set.message = copy(texts_.message, sizeof texts_.message, error->message);
  set.argument = copy(texts_.argument, sizeof texts_.argument, error->argument);
  set.path = copy(texts_.path, sizeof texts_.path, error->path);
  error_ = set;
  is_set = true;
}

const ek_error *ek_last_error(void) { return is_set ? &error_ : &no_error; }

void ek_clear_error(void) { is_set = false; }

const char *ek_error_name(int32_t code) {
#define NAME(code) \
  case code: return #code
  switch (code) {
    NAME(EK_OK);
    NAME(EK_ERROR_INVALID_POINTER);
    NAME(EK_ERROR_INVALID_HANDLE);
    NAME(EK_ERROR_INVALID_OPTION);
    NAME(EK_ERROR_BUFFER_TOO_SMALL);
    NAME(EK_ERROR_INTERNAL);
    NAME(EK_ERROR_TOKEN_OUT_OF_RANGE);
    NAME(EK_ERROR_SEGMENT_OUT_OF_RANGE);
    NAME(EK_ERROR_POSITION_OUT_OF_RANGE);
    NAME(EK_ERROR_CONTEXT_TOO_LONG);
    NAME(EK_ERROR_DOCUMENT_TOO_LONG);
    NAME(EK_ERROR_INVALID_CUMULATIVE_LENGTH);
    NAME(EK_ERROR_DISTANCE_OUT_OF_RANGE);
    NAME(EK_ERROR_UNPAIRED_DOCUMENTS);
    NAME(EK_ERROR_WRONG_ELEMENT_COUNT);
    NAME(EK_ERROR_INVALID_SIZE);
    NAME(EK_ERROR_INVALID_VALUE);
    NAME(EK_ERROR_SIZE_OVERFLOW);
    NAME(EK_ERROR_OVERLAPPING_MEMORY);
    NAME(EK_ERROR_UNSUPPORTED);
    NAME(EK_ERROR_INVALID_FIELD);
    NAME(EK_ERROR_INDEX_OUT_OF_RANGE);
    NAME(EK_ERROR_OUT_OF_MEMORY);
    NAME(EK_ERROR_INVALID_ENVIRONMENT);
    NAME(EK_ERROR_UNAVAILABLE_INSTRUCTION_SET);
    NAME(EK_ERROR_UNAVAILABLE_LIBRARY);
    NAME(EK_ERROR_FACTORISATION_FAILED);
    NAME(EK_ERROR_FILE_NOT_FOUND);
    NAME(EK_ERROR_FILE_SYSTEM);
    NAME(EK_ERROR_FILE_FORMAT);
    NAME(EK_ERROR_MISSING_TENSOR);
    NAME(EK_ERROR_ELEMENT_TYPE);
    NAME(EK_ERROR_SHAPE);
    NAME(EK_ERROR_MODEL);
    NAME(EK_ERROR_TEXT);
    NAME(EK_ERROR_UNKNOWN_TOKEN);
    NAME(EK_ERROR_SPECIAL_TOKEN);
  }
#undef NAME
  return "EK_ERROR_UNKNOWN";
}
