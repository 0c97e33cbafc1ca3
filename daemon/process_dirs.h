// What a daemon needs of the machine besides its store: folders for sockets, a temporary data
// directory, its process id where others find it, room for descriptors.
#ifndef KLOG_DAEMON_PROCESS_DIRS_H
#define KLOG_DAEMON_PROCESS_DIRS_H

#include <memory>
#include <optional>
#include <string>

#include "klog/env.h"
#include "klog/result.h"

namespace klog {

// The path from the root, without "." and ".."; a trailing slash goes. Errors: io.
[[nodiscard]] Result<std::string> absolute_path(const std::string& path);

// The folder that holds `path`.
[[nodiscard]] std::string folder_of(const std::string& path);

// Makes a folder for a socket, with parents, mode 0700; no error where it exists. Nothing is
// synced: a socket does not outlive its daemon. Errors: io, disk_full.
Status make_folders(const std::string& path);

// Errors: config, for a socket path that the system cannot take; says how long it may be.
[[nodiscard]] Status check_socket_path(const std::string& path, const std::string& hint);

// daemon.pid tells people who holds a data directory. It decides nothing: the store's lock does.
Status write_pid(const std::string& data_dir);
[[nodiscard]] std::optional<int> read_pid(const std::string& data_dir);
[[nodiscard]] int process_id();
void remove_pid(const std::string& data_dir);

// Takes as many descriptors as the system allows: each connection needs one.
void raise_descriptor_limit();

// Writes text and closes the descriptor. Errors: io.
Status write_and_close(int fd, const std::string& text);

// A data directory for as long as this object lives. A lock on a marker in it tells others that it
// is in use; a killed daemon's lock is gone, and the next one removes what it left.
class EphemeralDir {
public:
    // Under $TMPDIR, or /tmp where that is unset or too long for a socket's path. Errors: io,
    // disk_full.
    [[nodiscard]] static Result<std::unique_ptr<EphemeralDir>> make(Env& env);
    ~EphemeralDir();
    EphemeralDir(const EphemeralDir&) = delete;
    EphemeralDir& operator=(const EphemeralDir&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    EphemeralDir(std::string path, std::unique_ptr<FileLock> lock);

    std::string path_;
    std::unique_ptr<FileLock> lock_;
};

}  // namespace klog

#endif  // KLOG_DAEMON_PROCESS_DIRS_H
