#include "cli/bench/raw_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <thread>

namespace klog::cli::bench {
namespace {

constexpr std::size_t kFileBytes = 256U << 20U;
constexpr std::size_t kFillBytes = 1U << 20U;

// A file that goes with it.
class RawFile {
public:
    explicit RawFile(std::string path) : path_(std::move(path)) {}
    ~RawFile() {
        if (fd_ < 0) return;
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    RawFile(const RawFile&) = delete;
    RawFile& operator=(const RawFile&) = delete;

    Status create() {
        fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd_ < 0) return failed("create");
        const std::string zeros(kFillBytes, '\0');
        for (std::size_t at = 0; at < kFileBytes; at += kFillBytes) {
            if (!write_at(at, zeros)) return failed("fill");
        }
        return ::fsync(fd_) == 0 ? Status{} : failed("sync");
    }

    Status commit(std::size_t at, const std::string& bytes) {
        if (!write_at(at, bytes)) return failed("write");
        return ::fdatasync(fd_) == 0 ? Status{} : failed("sync");
    }

private:
    bool write_at(std::size_t at, const std::string& bytes) const {
        return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
               static_cast<ssize_t>(bytes.size());
    }
    [[nodiscard]] Error failed(const std::string& what) const {
        const int number = errno;
        return Error{
            number == ENOSPC ? Code::disk_full : Code::io,
            "cannot " + what + " " + path_ + ": " + std::generic_category().message(number),
            "klog bench --dir DIR measures the disk that DIR is on"};
    }

    const std::string path_;
    int fd_ = -1;
};

}  // namespace

Result<Figure> raw_disk(const std::string& dir, std::size_t group, double seconds,
                        std::chrono::microseconds pause) {
    RawFile file(dir + "/raw");
    KLOG_TRY(file.create());
    std::string bytes(group * kRecordBytes, 'a');
    Latencies latencies;
    std::size_t at = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds) {
        std::fill(bytes.begin(), bytes.end(), static_cast<char>('a' + latencies.size() % 26));
        const auto begin = Clock::now();
        KLOG_TRY(file.commit(at, bytes));
        latencies.add(Clock::now() - begin);
        at += bytes.size();
        if (at + bytes.size() > kFileBytes) at = 0;
        if (pause.count() > 0) std::this_thread::sleep_for(pause);
    }
    return latencies.figure(group, seconds_since(start));
}

}  // namespace klog::cli::bench
