/* SPDX-License-Identifier: MIT */
/* syntax.h - what is wrong with a text that is no YAML, in words for people. Used within core/conf
 * only. */
#ifndef DRAY_CONF_SYNTAX_H
#define DRAY_CONF_SYNTAX_H

#include <yaml.h>

#include "core/conf/source.h"

/* Bytes of a source. */
struct dray_span {
    size_t start, end;
};

/* Diagnose the error that libyaml's parser stopped at. `quoted` is the quoted scalar read last
 * (empty: none): a missing quote shows only where the next one closes it. */
void dray_syntax_diagnose(const struct dray_source *source, const yaml_parser_t *parser,
                          struct dray_span quoted, struct dray_diagnostics *diagnostics);

/* The value that stands at `at`, as its writer meant it before YAML took it apart: `[ab]*.nc` as a
 * whole. `flow`: inside brackets that were opened on an earlier line. Empty when the line is too
 * long to look at. */
struct dray_span dray_syntax_value(const struct dray_source *source, size_t at, int flow);
/* The hint to quote it, for the problem added last: quote patterns: "[ab]*.nc" */
void dray_syntax_hint_quote(const struct dray_source *source, struct dray_span value,
                            struct dray_diagnostics *diagnostics);

#endif
