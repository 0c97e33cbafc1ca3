// The checks of `klog doctor`, each adding what it found. None changes anything, and none fails:
// what cannot be looked at is a finding as well.
#ifndef KLOG_CLI_DOCTOR_CHECKS_H
#define KLOG_CLI_DOCTOR_CHECKS_H

#include <string>

#include "cli/context.h"
#include "cli/doctor/report.h"

namespace klog::cli {

// From here on less is worth a word. Shares in percent.
inline constexpr std::uint64_t kDiskFreePercentMin = 5;
inline constexpr std::uint64_t kDiskFreeBytesMin = 256ULL << 20U;
inline constexpr std::uint64_t kInodesFreePercentMin = 5;
inline constexpr std::uint64_t kLimitPercentNear = 80;
// A start reads the header of each WAL file.
inline constexpr std::uint64_t kWalFilesMany = 1000;
// How far the key index may lag before listings and starts feel it. Unit: records.
inline constexpr std::uint64_t kKeyIndexLagRecords = 1'000'000;
// The daemon's limit of what is not sealed yet: StoreOptions::unsealed_bytes_max.
inline constexpr std::uint64_t kUnsealedBytesMax = 1ULL << 30U;
inline constexpr const char* kSealHint =
    "look at the daemon's log for why sealing fails, and whether the disk is slow or full";
// A daemon needs a descriptor for each connection, and some for its files.
inline constexpr std::uint64_t kDescriptorsMin = 1024;

// Which settings somebody made, and where.
void check_settings(const Context& context, Findings& findings);
// What lies in the data directory, how large it is, who may read it, and the disk it lies on.
void check_data_dir(const std::string& dir, Findings& findings);
// How much of each log is sealed, by the manifest, and what is not yet.
void check_segments(const std::string& dir, Findings& findings);
// The sockets that a daemon of this user binds and clients try, and who answers there.
void check_sockets(const Context& context, const std::string& data_dir, Findings& findings);
// The daemon at `url`: version, readiness, queues. `wanted`: somebody named it, so it should
// answer.
void check_daemon(const std::string& url, bool wanted, const std::string& data_dir,
                  Findings& findings);
// What the system lets a daemon that is started from here have.
void check_system(Findings& findings);

}  // namespace klog::cli

#endif  // KLOG_CLI_DOCTOR_CHECKS_H
