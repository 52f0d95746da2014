# SPDX-License-Identifier: MIT
# The manual page, and the documents at the top, which automake does not know by itself.

dist_man1_MANS = docs/dray.1

EXTRA_DIST += ARCHITECTURE.md CONTRIBUTING.md LICENSE NEWS.md README.md SECURITY.md
