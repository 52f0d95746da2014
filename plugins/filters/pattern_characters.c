/* SPDX-License-Identifier: MIT */
/* Characters of patterns and paths: UTF-8, and which letters are the same but for their case. */
#include "pattern_form.h"

/* Simple case folding (Unicode's CaseFolding.txt, status C) of Latin to U+017F, today's Greek, and
 * Cyrillic. All of these are two bytes before and after: folding moves nothing, so text can be
 * compared where it lies. It depends on no locale and no C library, and so gives the same verdict
 * everywhere. Left out, because they change their length or depend on the language, are dotted and
 * dotless i, the long s and the Kelvin and Angstrom signs. */
static const struct fold {
    uint16_t first;
    uint16_t last;
    uint16_t step;
    int16_t distance;
} folds[] = {
    {0x00b5, 0x00b5, 1, 775}, /* micro sign to mu */
    {0x00c0, 0x00d6, 1, 32},   {0x00d8, 0x00de, 1, 32}, {0x0100, 0x012e, 2, 1},
    {0x0132, 0x0136, 2, 1},    {0x0139, 0x0147, 2, 1},  {0x014a, 0x0176, 2, 1},
    {0x0178, 0x0178, 1, -121}, {0x0179, 0x017d, 2, 1},  {0x0386, 0x0386, 1, 38},
    {0x0388, 0x038a, 1, 37},   {0x038c, 0x038c, 1, 64}, {0x038e, 0x038f, 1, 63},
    {0x0391, 0x03a1, 1, 32},   {0x03a3, 0x03ab, 1, 32}, {0x03c2, 0x03c2, 1, 1}, /* final sigma */
    {0x0400, 0x040f, 1, 80},   {0x0410, 0x042f, 1, 32}, {0x0460, 0x0480, 2, 1},
    {0x048a, 0x04be, 2, 1},    {0x04c0, 0x04c0, 1, 15}, {0x04c1, 0x04cd, 2, 1},
    {0x04d0, 0x052e, 2, 1},
};

#define FOLDS (sizeof(folds) / sizeof(folds[0]))

static int fold_takes(const struct fold *fold, uint32_t character)
{
    return character >= fold->first && character <= fold->last &&
           (character - fold->first) % fold->step == 0;
}

uint32_t dray_pattern_fold(uint32_t character)
{
    if (character < 0x80)
        return character >= 'A' && character <= 'Z' ? character + 32 : character;
    for (size_t i = 0; i < FOLDS && character >= folds[i].first; i++) {
        if (fold_takes(&folds[i], character))
            return (uint32_t)((int32_t)character + folds[i].distance);
    }
    return character;
}

uint32_t dray_pattern_unfold(uint32_t folded, size_t number)
{
    if (folded > 0xffff)
        return 0;
    for (size_t i = 0; i < FOLDS; i++) {
        int32_t character = (int32_t)folded - folds[i].distance;
        if (character > 0 && fold_takes(&folds[i], (uint32_t)character) && number-- == 0)
            return (uint32_t)character;
    }
    return 0;
}

size_t dray_pattern_decode(const unsigned char *bytes, size_t length, uint32_t *ret_character)
{
    if (length == 0)
        return 0;
    uint32_t lead = bytes[0];
    if (lead < 0x80) {
        *ret_character = lead;
        return 1;
    }
    size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || size > length)
        return 0;
    uint32_t character = lead & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        character = character << 6 | (bytes[i] & 0x3fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (character < smallest[size] || character > 0x10ffff ||
        (character >= 0xd800 && character <= 0xdfff))
        return 0;
    *ret_character = character;
    return size;
}

size_t dray_pattern_encode(uint32_t character, unsigned char ret_bytes[4])
{
    if (character < 0x80) {
        ret_bytes[0] = (unsigned char)character;
        return 1;
    }
    size_t size = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        ret_bytes[i] = (unsigned char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    ret_bytes[0] = (unsigned char)((0xf00u >> size) | character);
    return size;
}
