# SPDX-License-Identifier: MIT
# The manual pages, and the documents at the top, which automake does not know by itself.

dist_man1_MANS = docs/dray.1
dist_man5_MANS = docs/dray-plugins.5 docs/dray-policy.5 docs/dray-workflow.5

# docs/dray-plugins.5 anew, from the option tables of the plugins that were built. A home of its own,
# so that no plugin of whoever runs this gets into the page.
manual: all
	$(AM_V_GEN)rm -rf manual.home && mkdir manual.home && \
	    HOME='$(abs_builddir)/manual.home' DRAY_STATE='$(abs_builddir)/manual.home/state' \
	    ./dray plugin manual >manual.new && mv manual.new '$(srcdir)/docs/dray-plugins.5' && \
	    rm -rf manual.home

.PHONY: manual

EXTRA_DIST += ARCHITECTURE.md CONTRIBUTING.md LICENSE NEWS.md README.md SECURITY.md
