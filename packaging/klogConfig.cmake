# klog::core is a static library: whoever links it links what it uses as well.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(SQLite3)
find_dependency(fmt)
find_dependency(zstd)
include("${CMAKE_CURRENT_LIST_DIR}/klogTargets.cmake")
