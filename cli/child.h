// Child processes of `klog run`, and the signals that concern them.
#ifndef KLOG_CLI_CHILD_H
#define KLOG_CLI_CHILD_H

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "klog/result.h"

namespace klog::cli {

// A pipe whose ends close with it and are not inherited by a program that is executed.
class Pipe {
public:
    // Errors: io.
    Status open();
    ~Pipe();
    Pipe() = default;
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    [[nodiscard]] int reader() const { return reader_; }
    [[nodiscard]] int writer() const { return writer_; }
    void close_reader();
    void close_writer();
    // Leaves the end to the caller.
    int release_reader() { return std::exchange(reader_, -1); }
    int release_writer() { return std::exchange(writer_, -1); }
    // All that is written until the last writer closes, at most bytes_max.
    [[nodiscard]] std::string read_all(std::size_t bytes_max) const;

private:
    int reader_ = -1;
    int writer_ = -1;
};

// Holds back the signals that are passed on to a command, and tells of them and of children that
// ended. One thread; make it before there are others.
class ChildSignals {
public:
    // Errors: io.
    Status block();
    ~ChildSignals();
    ChildSignals() = default;
    ChildSignals(const ChildSignals&) = delete;
    ChildSignals& operator=(const ChildSignals&) = delete;

    // As it was before block(), for a child.
    void restore() const;
    // Waits until `pid` ends and passes signals on to it meanwhile. The exit code: its own, or 128
    // and the number of the signal that ended it.
    [[nodiscard]] int wait_for(pid_t pid) const;

private:
    int fd_ = -1;
    sigset_t before_{};
};

// Forks; the child runs `work` and ends with what it returns. Errors: io.
[[nodiscard]] Result<pid_t> fork_child(const std::function<int()>& work);

// What could not be run: 127 where it was not found, 126 otherwise. Prints why on stderr.
struct Started {
    pid_t pid = 0;
    int failed_code = 0;  // 0: it runs
};

// Runs a command found along PATH, in the same process group, with those variables set or (nullopt)
// removed. Errors: io.
[[nodiscard]] Result<Started> start_command(
    const std::vector<std::string>& command,
    const std::vector<std::pair<std::string, std::optional<std::string>>>& environment,
    const ChildSignals& signals);

// Waits until a child ends, whatever signals come.
[[nodiscard]] int wait_code(pid_t pid);

// In a child: a session of its own, nothing on stdin and stdout, no descriptors but 2 and those
// named.
void become_background(const std::vector<int>& kept);

}  // namespace klog::cli

#endif  // KLOG_CLI_CHILD_H
