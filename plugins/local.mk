# SPDX-License-Identifier: MIT
# Plugins: modules that link to nothing of ours and export one object.
#
# To add one: its name, plugins/<kind>-<name>.la, in plugin_modules; its _SOURCES; its _LDFLAGS as
# below; _LIBADD if it needs a library. Libtool hides the real file in .libs/, so each is copied to
# plugins/<kind>-<name>.so: there a program in the build tree finds it, and from there it is
# installed, without a .la file.

plugin_modules = \
	plugins/filter-glob.la \
	plugins/filter-mime.la \
	plugins/filter-regex.la \
	plugins/filter-size.la \
	plugins/filter-time.la \
	plugins/filter-type.la \
	plugins/push-hpfs.la \
	plugins/source-archive.la \
	plugins/source-command.la \
	plugins/source-directory.la

# -rpath is what makes libtool build a module rather than an archive of something not installed.
plugin_link_flags = $(DRAY_LDFLAGS) -module -avoid-version -shared -rpath $(plugindir) \
	-export-symbols-regex '^dray_plugin_v1$$' $(PLUGIN_LINK_CHECKS) -Wl,-z,now

noinst_LTLIBRARIES += $(plugin_modules)

# "exec" in the name: programs belong to install-exec, and a plugin is one.
pluginexecdir = $(plugindir)
pluginexec_SCRIPTS = $(plugin_modules:.la=.so)
CLEANFILES += $(pluginexec_SCRIPTS)

# Patterns are a library of their own, for their unit tests and their fuzzer.
noinst_LTLIBRARIES += libdraypattern.la
libdraypattern_la_SOURCES = \
	plugins/filters/pattern.h \
	plugins/filters/pattern_characters.c \
	plugins/filters/pattern_compile.c \
	plugins/filters/pattern_form.h \
	plugins/filters/pattern_match.c \
	plugins/filters/pattern_parse.c \
	plugins/filters/pattern_parse.h

plugins_filter_glob_la_SOURCES = plugins/filters/glob.c
plugins_filter_glob_la_LDFLAGS = $(plugin_link_flags)
plugins_filter_glob_la_LIBADD = libdraypattern.la

plugins_filter_mime_la_SOURCES = plugins/filters/mime.c
plugins_filter_mime_la_LDFLAGS = $(plugin_link_flags)
plugins_filter_mime_la_LIBADD = $(MAGIC_LIBS)

plugins_filter_regex_la_SOURCES = plugins/filters/regex.c
plugins_filter_regex_la_LDFLAGS = $(plugin_link_flags)
plugins_filter_regex_la_LIBADD = $(PCRE2_LIBS)

plugins_filter_size_la_SOURCES = plugins/filters/size.c
plugins_filter_size_la_LDFLAGS = $(plugin_link_flags)

plugins_filter_time_la_SOURCES = plugins/filters/time.c
plugins_filter_time_la_LDFLAGS = $(plugin_link_flags)

plugins_filter_type_la_SOURCES = plugins/filters/type.c
plugins_filter_type_la_LDFLAGS = $(plugin_link_flags)

plugins_push_hpfs_la_SOURCES = \
	plugins/hpfs/acl.c \
	plugins/hpfs/commit.c \
	plugins/hpfs/compare.c \
	plugins/hpfs/hpfs.c \
	plugins/hpfs/hpfs.h \
	plugins/hpfs/merge.c \
	plugins/hpfs/others.c \
	plugins/hpfs/others.h \
	plugins/hpfs/old.c \
	plugins/hpfs/place.c \
	plugins/hpfs/probe.c \
	plugins/hpfs/probe.h \
	plugins/hpfs/recipient.c \
	plugins/hpfs/rights.c \
	plugins/hpfs/rights.h \
	plugins/hpfs/space.c \
	plugins/hpfs/write.c \
	plugins/hpfs/xattrs.c
plugins_push_hpfs_la_LDFLAGS = $(plugin_link_flags)
plugins_push_hpfs_la_LIBADD = $(JANSSON_LIBS) $(CRYPTO_LIBS)

# The words of commands are a library of their own, for their unit tests.
noinst_LTLIBRARIES += libdraycommand.la
libdraycommand_la_SOURCES = \
	plugins/sources/command.h \
	plugins/sources/command_words.c

# source/command reads what its program brought with the same code.
archive_sources = \
	plugins/sources/archive.c \
	plugins/sources/archive.h \
	plugins/sources/archive_digest.c \
	plugins/sources/archive_names.c \
	plugins/sources/archive_open.c \
	plugins/sources/archive_stream.c \
	plugins/sources/archive_zip.c

plugins_source_archive_la_SOURCES = $(archive_sources) plugins/sources/archive_plugin.c
plugins_source_archive_la_LDFLAGS = $(plugin_link_flags)
plugins_source_archive_la_LIBADD = $(ARCHIVE_LIBS) $(ZLIB_LIBS) $(CRYPTO_LIBS)

plugins_source_command_la_SOURCES = $(archive_sources) \
	plugins/sources/command.c
plugins_source_command_la_LDFLAGS = $(plugin_link_flags)
plugins_source_command_la_LIBADD = libdraycommand.la $(ARCHIVE_LIBS) $(ZLIB_LIBS) $(CRYPTO_LIBS)

plugins_source_directory_la_SOURCES = plugins/sources/directory.c
plugins_source_directory_la_LDFLAGS = $(plugin_link_flags)

# Mocks go wrong in any way a test asks for. They are built beside the plugins, in a folder where no
# program looks for them, and are not installed.
mock_modules = \
	plugins/mock/filter-mock.la \
	plugins/mock/push-mock.la \
	plugins/mock/source-mock.la \
	plugins/mock/transform-mock.la
noinst_LTLIBRARIES += $(mock_modules)
noinst_DATA = $(mock_modules:.la=.so)
CLEANFILES += $(noinst_DATA)

plugins_mock_filter_mock_la_SOURCES = plugins/mock/filter.c plugins/mock/mock.h
plugins_mock_filter_mock_la_LDFLAGS = $(plugin_link_flags)
plugins_mock_push_mock_la_SOURCES = \
	plugins/mock/mock.h \
	plugins/mock/push.c \
	plugins/mock/push.h \
	plugins/mock/push_directory.c
plugins_mock_push_mock_la_LDFLAGS = $(plugin_link_flags)
plugins_mock_push_mock_la_LIBADD = $(JANSSON_LIBS)
plugins_mock_source_mock_la_SOURCES = plugins/mock/mock.h plugins/mock/source.c
plugins_mock_source_mock_la_LDFLAGS = $(plugin_link_flags)
plugins_mock_transform_mock_la_SOURCES = plugins/mock/mock.h plugins/mock/transform.c
plugins_mock_transform_mock_la_LDFLAGS = $(plugin_link_flags)

# The loader refuses a file or a folder that others may write, whatever the umask was.
SUFFIXES = .la .so
.la.so:
	$(AM_V_GEN)chmod go-w $(@D) && \
	$(INSTALL) -m 755 $(@D)/.libs/$(@F) $@.new && mv -f $@.new $@
