# plain/_C and checked/_C: the whole module with kernels that run on the CPU, without and with the checker. They share
# all objects but the kernels'. Kernels lie in a library of their own: its thread-local segment is their shared memory.
add_library(bind_objects OBJECT csrc/bind.cpp csrc/host_sim/bind.cpp ${bind_sources})
add_library(cpu_objects OBJECT ${cpu_sources})
target_precompile_headers(bind_objects PRIVATE <pybind11/pybind11.h>)
target_link_libraries(bind_objects PRIVATE pybind11::module)
target_compile_options(bind_objects PRIVATE -O0)
target_compile_options(cpu_objects PRIVATE -O1)
foreach(part bind_objects cpu_objects)
    target_compile_definitions(${part} PRIVATE
        UP_HOST_SIM UP_WITH_CUDA UP_CUDA_VERSION="simulated" UP_CUDA_ARCHS="simulated 80 90"
        UP_VERSION="${UP_VERSION}" UP_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
    target_compile_options(${part} PRIVATE -ffp-contract=off -Wno-psabi -fvisibility=hidden)
    if(OpenMP_CXX_FOUND)
        target_link_libraries(${part} PRIVATE OpenMP::OpenMP_CXX)
    endif()
endforeach()

add_library(simulator OBJECT csrc/host_sim/simulator.cpp csrc/host_sim/undefined.cpp)
add_library(monitor_plain OBJECT csrc/host_sim/no_checker.cpp)
add_library(monitor_checked OBJECT csrc/host_sim/checker.cpp)
foreach(part simulator monitor_plain monitor_checked)
    target_compile_options(${part} PRIVATE -O2 -Wall -Wextra -Werror)
endforeach()

list(APPEND cuda_sources csrc/host_sim/planted.cu)
set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX)
function(add_simulated name)
    add_library(kernels_${name} SHARED ${cuda_sources} $<TARGET_OBJECTS:simulator> $<TARGET_OBJECTS:monitor_${name}>)
    target_include_directories(kernels_${name} PRIVATE csrc csrc/host_sim)
    target_compile_definitions(kernels_${name} PRIVATE UP_HOST_SIM)
    # nvcc, too, puts its own header before everything.
    target_compile_options(kernels_${name} PRIVATE
        -include ${CMAKE_SOURCE_DIR}/csrc/host_sim/cuda.h
        -Wall -Wextra -Werror -Wno-unknown-pragmas -ffp-contract=off -fno-gnu-unique
        -fsanitize=alignment,bounds -fno-sanitize-recover=all ${ARGN})
    target_link_options(kernels_${name} PRIVATE -Wl,-Bsymbolic -Wl,-z,defs)
    set_target_properties(kernels_${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${name})

    add_library(module_${name} MODULE $<TARGET_OBJECTS:bind_objects> $<TARGET_OBJECTS:cpu_objects>)
    target_link_libraries(module_${name} PRIVATE pybind11::module kernels_${name})
    if(OpenMP_CXX_FOUND)
        target_link_libraries(module_${name} PRIVATE OpenMP::OpenMP_CXX)
    endif()
    set_target_properties(module_${name} PROPERTIES
        PREFIX "" OUTPUT_NAME _C SUFFIX .so LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${name} BUILD_RPATH $ORIGIN)
endfunction()

add_simulated(plain -O2)
# Loads stay where the source has them: one that moves to a place where its line is not reached would be a false alarm.
add_simulated(checked
    -O1 -g1 -fno-tree-loop-im -fno-tree-pre -fno-hoist-adjacent-loads
    -fsanitize=thread,shift,integer-divide-by-zero,signed-integer-overflow
    --param=tsan-distinguish-volatile=1 --param=tsan-instrument-func-entry-exit=0)
