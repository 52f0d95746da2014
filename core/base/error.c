/* SPDX-License-Identifier: MIT */
/* error.c - see error.h. */
#include "core/base/error.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buffer.h"
#include "core/base/text.h"

static const struct class_row {
    int class_;
    const char *name;
    int retried;
    int exit_status; /* README.md */
} classes[] = {
    {DRAY_OK, "ok", 0, 0},
    {DRAY_TEMPORARY, "temporary", 1, 75},
    {DRAY_PERMANENT, "permanent", 0, 1},
    {DRAY_INVALID, "invalid", 0, 2},
    {DRAY_NOT_FOUND, "not_found", 0, 4},
    {DRAY_CONFLICT, "conflict", 0, 1},
    {DRAY_DENIED, "denied", 0, 3},
    {DRAY_CREDENTIAL, "credential", 0, 1},
    {DRAY_INTEGRITY, "integrity", 0, 1},
    {DRAY_CHANGED, "changed", 0, 1},
    {DRAY_NO_SPACE, "no_space", 0, 1},
    {DRAY_NO_MEMORY, "no_memory", 0, 1},
    {DRAY_CANCELLED, "cancelled", 0, 5},
    {DRAY_TIMED_OUT, "timed_out", 1, 1},
    {DRAY_UNSUPPORTED, "unsupported", 0, 1},
    {DRAY_BUG, "bug", 0, 1},
    {DRAY_LATER, "later", 0, 6},
};

static const struct class_row *find_class(int class_)
{
    const struct class_row *bug = NULL;

    for (size_t i = 0; i < DRAY_COUNT(classes); i++) {
        if (classes[i].class_ == class_)
            return &classes[i];
        if (classes[i].class_ == DRAY_BUG)
            bug = &classes[i];
    }
    return bug;
}

const char *dray_class_name(int class_)
{
    return find_class(class_)->name;
}

int dray_class_of_name(const char *name)
{
    for (size_t i = 0; i < DRAY_COUNT(classes); i++)
        if (strcmp(classes[i].name, name) == 0)
            return classes[i].class_;
    return DRAY_BUG;
}

int dray_class_is_retried(int class_)
{
    return find_class(class_)->retried;
}

int dray_class_exit(int class_)
{
    return find_class(class_)->exit_status;
}

int dray_class_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return DRAY_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
    case EISDIR:
        return DRAY_CONFLICT;
    case EACCES:
    case EPERM:
    case EROFS:
        return DRAY_DENIED;
    case ENAMETOOLONG:
    case EILSEQ:
        return DRAY_INVALID;
    case ENOSPC:
    case EDQUOT:
        return DRAY_NO_SPACE;
    case ENOMEM:
        return DRAY_NO_MEMORY;
    case ETIMEDOUT:
        return DRAY_TIMED_OUT;
    case ECANCELED:
        return DRAY_CANCELLED;
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
    case EXDEV:
        return DRAY_UNSUPPORTED;
    case EBADF:
    case EFAULT:
        return DRAY_BUG;
    case EIO:
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ESTALE:
    case ETXTBSY:
    case EDEADLK:
    case ENOLCK:
    case ENOLINK:
    case EREMOTEIO:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case EPIPE:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ENETDOWN:
    case ENETUNREACH:
    case ENETRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        return DRAY_TEMPORARY;
    default:
        return DRAY_PERMANENT;
    }
}

/* Copy text so that it is UTF-8 without control characters (but line feeds, if `lines`), since it
 * holds names from outside and goes to terminals and into JSON. Cut before the character that does
 * not fit. */
static size_t store(char *room, size_t size, const char *text, size_t length, int lines)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t used = 0;

    for (size_t i = 0; i < length;) {
        size_t taken = dray_utf8_length(text + i, length - i);
        const char *piece = text + i;
        size_t bytes = taken;
        if (taken == 0 || (dray_utf8_is_control(piece, taken) && !(lines && *piece == '\n'))) {
            piece = replacement;
            bytes = sizeof replacement - 1;
        }
        if (bytes > size - 1 - used)
            break;
        memcpy(room + used, piece, bytes);
        used += bytes;
        i += taken == 0 ? 1 : taken;
    }
    room[used] = '\0';
    return used;
}

/* Through a second place, as the arguments may be parts of the error that is written. */
static size_t store_format(char *room, size_t size, int lines, const char *format,
                           va_list arguments) __attribute__((format(printf, 4, 0)));
static size_t store_format(char *room, size_t size, int lines, const char *format,
                           va_list arguments)
{
    char text[sizeof((struct dray_error *)0)->message];

    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length < 0)
        length = 0;
    size_t kept = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    /* vsnprintf cuts at a byte: a character that lost its end is left out. */
    if (kept < (size_t)length)
        kept = dray_utf8_cut(text, kept);
    return store(room, size, text, kept, lines);
}

/* Begin the error anew; a class that is no failure would turn a failure into success. */
static int begin(struct dray_error *error, int class_)
{
    int checked = class_ < 0 ? find_class(class_)->class_ : DRAY_BUG;

    if (error != NULL) {
        error->class_ = checked;
        error->side = DRAY_SIDE_NONE;
    }
    return checked;
}

/* After the message was stored, since it may have been made of these. */
static void forget_rest(struct dray_error *error)
{
    error->hint[0] = '\0';
    error->where[0] = '\0';
}

int dray_fail_va(struct dray_error *error, int class_, const char *format, va_list arguments)
{
    int result = begin(error, class_);

    if (error == NULL)
        return result;
    (void)store_format(error->message, sizeof error->message, 0, format, arguments);
    forget_rest(error);
    return result;
}

int dray_fail(struct dray_error *error, int class_, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result = dray_fail_va(error, class_, format, arguments);
    va_end(arguments);
    return result;
}

int dray_fail_errno_va(struct dray_error *error, int errnum, const char *format, va_list arguments)
{
    char room[128];
    int result = begin(error, dray_class_of_errno(errnum));

    if (error == NULL)
        return result;
    const char *reason = strerror_r(errnum, room, sizeof room);
    size_t reason_length = strnlen(reason, sizeof room);
    /* However long the message is, the reason is not cut off. */
    size_t size = sizeof error->message - 2 - reason_length;
    size_t used = store_format(error->message, size, 0, format, arguments);
    memcpy(error->message + used, ": ", 2);
    (void)store(error->message + used + 2, sizeof error->message - used - 2, reason, reason_length,
                0);
    forget_rest(error);
    return result;
}

int dray_fail_errno(struct dray_error *error, int errnum, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result = dray_fail_errno_va(error, errnum, format, arguments);
    va_end(arguments);
    return result;
}

int dray_fail_memory(struct dray_error *error)
{
    return dray_fail(error, DRAY_NO_MEMORY, "out of memory");
}

void dray_hint_va(struct dray_error *error, const char *format, va_list arguments)
{
    if (error != NULL)
        (void)store_format(error->hint, sizeof error->hint, 1, format, arguments);
}

void dray_hint(struct dray_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    dray_hint_va(error, format, arguments);
    va_end(arguments);
}

void dray_where(struct dray_error *error, const char *format, ...)
{
    va_list arguments;

    if (error == NULL)
        return;
    va_start(arguments, format);
    (void)store_format(error->where, sizeof error->where, 0, format, arguments);
    va_end(arguments);
}

static const char *const sides[] = {
    [DRAY_SIDE_NONE] = "",
    [DRAY_SIDE_SOURCE] = "source",
    [DRAY_SIDE_TARGET] = "target",
    [DRAY_SIDE_US] = "us",
};

/* An error may have been filled by hand, so text is made valid once more: jansson refuses other
 * text. */
static int set_text(json_t *json, const char *key, const char *text, size_t size, int lines)
{
    char clean[sizeof((struct dray_error *)0)->message];
    size_t length = store(clean, sizeof clean, text, strnlen(text, size), lines);

    if (length == 0)
        return 0;
    return json_object_set_new(json, key, json_stringn(clean, length));
}

json_t *dray_error_to_json(const struct dray_error *error)
{
    json_t *json = json_object();
    const char *side = (size_t)error->side < DRAY_COUNT(sides) ? sides[error->side] : "";

    if (json == NULL)
        return NULL;
    if (json_object_set_new(json, "class", json_string(dray_class_name(error->class_))) != 0 ||
        set_text(json, "message", error->message, sizeof error->message, 0) != 0 ||
        set_text(json, "where", error->where, sizeof error->where, 0) != 0 ||
        set_text(json, "hint", error->hint, sizeof error->hint, 1) != 0 ||
        set_text(json, "side", side, sizeof "source", 0) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static void get_text(const json_t *json, const char *key, char *room, size_t size, int lines)
{
    const json_t *value = json_object_get(json, key);

    room[0] = '\0';
    if (json_is_string(value))
        (void)store(room, size, json_string_value(value), json_string_length(value), lines);
}

void dray_error_from_json(struct dray_error *error, const json_t *json)
{
    const char *class_ = json_string_value(json_object_get(json, "class"));
    const char *side = json_string_value(json_object_get(json, "side"));

    error->class_ = class_ == NULL ? DRAY_BUG : dray_class_of_name(class_);
    error->side = DRAY_SIDE_NONE;
    for (size_t i = 0; side != NULL && i < DRAY_COUNT(sides); i++)
        if (strcmp(side, sides[i]) == 0)
            error->side = (enum dray_side)i;
    get_text(json, "message", error->message, sizeof error->message, 0);
    get_text(json, "where", error->where, sizeof error->where, 0);
    get_text(json, "hint", error->hint, sizeof error->hint, 1);
    if (error->message[0] == '\0' && error->class_ != DRAY_OK)
        (void)snprintf(error->message, sizeof error->message, "an error without a message");
}
