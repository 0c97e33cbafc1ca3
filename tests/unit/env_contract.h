// What every Env has to do, whatever stands below it. A test case calls check_env_contract with
// its Env and an existing, empty, writable folder in it.
#ifndef KLOG_TESTS_ENV_CONTRACT_H
#define KLOG_TESTS_ENV_CONTRACT_H

#include <string>

#include "klog/env.h"

namespace klog::test {

void check_env_contract(Env& env, const std::string& folder);

// All bytes of a file, by its size; fails the running test where it cannot be read.
std::string read_all(Env& env, const std::string& path);

}  // namespace klog::test

#endif  // KLOG_TESTS_ENV_CONTRACT_H
