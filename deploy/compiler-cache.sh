# Sourced at the root of a checkout: builds from here on use the compiler cache, which lies outside the
# tree and knows no absolute paths, so that one checkout has use of what another one has compiled.
export VITALSD_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
export CCACHE_DEPEND=1
# For precompiled headers, and an image has no LANG.
export CCACHE_SLOPPINESS=pch_defines,time_macros,locale
