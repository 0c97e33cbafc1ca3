// What `klog doctor` found, one entry for each thing it looked at.
#ifndef KLOG_CLI_DOCTOR_REPORT_H
#define KLOG_CLI_DOCTOR_REPORT_H

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace klog::cli {

struct Finding {
    std::string area;  // config, data, disk, socket, daemon, limits
    std::string name;
    std::string value;                    // for people
    std::optional<std::uint64_t> number;  // for scripts, where the value is a number: bytes, counts
    bool attention = false;
    std::string message;  // what is wrong, if anything is
    std::string hint;     // what to do
};

class Findings {
public:
    // Something that is as it should be.
    void fine(std::string area, std::string name, std::string value,
              std::optional<std::uint64_t> number = std::nullopt) {
        list_.push_back(
            Finding{std::move(area), std::move(name), std::move(value), number, false, "", ""});
    }
    void attention(std::string area, std::string name, std::string value, std::string message,
                   std::string hint, std::optional<std::uint64_t> number = std::nullopt) {
        list_.push_back(Finding{std::move(area), std::move(name), std::move(value), number, true,
                                std::move(message), std::move(hint)});
    }
    [[nodiscard]] const std::vector<Finding>& list() const { return list_; }

private:
    std::vector<Finding> list_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_DOCTOR_REPORT_H
