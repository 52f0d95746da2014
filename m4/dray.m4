# SPDX-License-Identifier: MIT
# Checks of compiler flags. None of them changes the user's variables.

# DRAY_APPEND_FLAG(VARIABLE, FLAG, [required])
# Adds FLAG to VARIABLE if the compiler takes it without a complaint. Clang only warns about flags
# that it does not know, so the probe runs with -Werror; it links, because a sanitizer may compile
# and then lack its runtime.
AC_DEFUN([DRAY_APPEND_FLAG], [
    AS_VAR_PUSHDEF([dray_known], [dray_cv_flag_$2])
    AC_CACHE_CHECK([whether $CC takes $2], [dray_known], [
        dray_saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -Werror $2"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
            [AS_VAR_SET([dray_known], [yes])], [AS_VAR_SET([dray_known], [no])])
        CFLAGS=$dray_saved_CFLAGS
    ])
    AS_IF([test "x]AS_VAR_GET([dray_known])[" = xyes], [$1="${$1:+$$1 }$2"],
        [m4_if([$3], [required], [AC_MSG_ERROR([$CC cannot build with $2; see config.log])], [:])])
    AS_VAR_POPDEF([dray_known])
])

# DRAY_CHECK_FORTIFY(SANITIZERS)
# _FORTIFY_SOURCE works only in an optimised build, may have been set by the distribution's flags
# or by the compiler itself, and hides from a sanitizer the calls that it wants to see.
AC_DEFUN([DRAY_CHECK_FORTIFY], [
    AC_CACHE_CHECK([whether to set _FORTIFY_SOURCE], [dray_cv_fortify], [
        AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
            #if !defined __OPTIMIZE__ || defined _FORTIFY_SOURCE
            #error leave it alone
            #endif
            int dray;
        ]])], [dray_cv_fortify=yes], [dray_cv_fortify=no])
    ])
    AS_IF([test "x$dray_cv_fortify" = xyes && test -z "$1"],
        [DRAY_CPPFLAGS="${DRAY_CPPFLAGS:+$DRAY_CPPFLAGS }-D_FORTIFY_SOURCE=2"])
])
