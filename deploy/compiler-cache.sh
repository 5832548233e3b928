# Source this file at the root of a checkout: later builds then use the compiler cache. The cache is
# outside the tree and contains no absolute paths, so all checkouts share its objects.
export VITALSD_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export CCACHE_DEPEND=1
# Precompiled headers require the first two. The third is needed because an image has no LANG.
export CCACHE_SLOPPINESS=pch_defines,time_macros,locale
