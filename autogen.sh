#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes ./configure in a fresh checkout. After that make keeps it up to date by itself.
set -e
cd "$(dirname "$0")"
exec autoreconf --force --install
