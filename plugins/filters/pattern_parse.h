/* SPDX-License-Identifier: MIT */
/* pattern_parse.h - from the text of a pattern to tokens that remember where they stood. */
#ifndef DRAY_FILTERS_PATTERN_PARSE_H
#define DRAY_FILTERS_PATTERN_PARSE_H

#include "pattern_form.h"

enum token_kind {
    TOKEN_CHARACTER, /* value: the character */
    TOKEN_ONE,       /* ? */
    TOKEN_STAR,
    TOKEN_BRACKET, /* value: which */
    TOKEN_SLASH,
    TOKEN_OPEN, /* value: how many patterns the group stands for */
    TOKEN_COMMA,
    TOKEN_CLOSE
};

struct token {
    uint32_t kind; /* enum token_kind */
    uint32_t offset;
    uint32_t value;
    uint32_t next;   /* OPEN, COMMA: the token that ends the branch which begins here */
    uint32_t branch; /* OPEN, COMMA: how many patterns that branch stands for */
    uint32_t close;  /* OPEN */
};

/* An array that grows. The pointer is typed, so each kind of element has its own. */
#define DRAY_PATTERN_LIST(NAME, TYPE)                                                              \
    struct NAME {                                                                                  \
        TYPE *items;                                                                               \
        uint32_t count;                                                                            \
        uint32_t capacity;                                                                         \
    }
DRAY_PATTERN_LIST(token_list, struct token);
DRAY_PATTERN_LIST(bracket_list, struct bracket);
DRAY_PATTERN_LIST(range_list, struct range);

/* Room for one more element at the end of a list: its address, or NULL when memory is out. */
#define DRAY_PATTERN_APPEND(LIST)                                                                  \
    __extension__({                                                                                \
        void *grown_ = dray_pattern_grow((LIST)->items, &(LIST)->capacity, (LIST)->count,          \
                                         sizeof(*(LIST)->items));                                  \
        if (grown_ != NULL)                                                                        \
            (LIST)->items = grown_;                                                                \
        grown_ != NULL ? &(LIST)->items[(LIST)->count++] : NULL;                                   \
    })

/* The array, moved if it had to grow, or NULL when memory is out: then the old one stays. */
void *dray_pattern_grow(void *array, uint32_t *capacity, uint32_t count, size_t element);

/* What parsing works on. The lists belong to the caller, whatever the result. */
struct pattern_text {
    const unsigned char *bytes;
    uint32_t length;
    uint32_t flags;
    uint32_t alternatives; /* how many patterns the braces stand for */
    struct token_list tokens;
    struct bracket_list brackets;
    struct range_list ranges;
    struct dray_pattern_fault fault;
};

/* Record a fault and return DRAY_PATTERN_FAULTY. */
int dray_pattern_fail(struct pattern_text *text, size_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

__attribute__((warn_unused_result)) int dray_pattern_parse(struct pattern_text *text);

#endif
