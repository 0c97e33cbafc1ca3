// A folder on the real disk, gone with the object.
#ifndef KLOG_TESTS_SUPPORT_TEMP_FOLDER_H
#define KLOG_TESTS_SUPPORT_TEMP_FOLDER_H

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace klog::test {

class TempFolder {
public:
    TempFolder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "klog-test-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~TempFolder() { std::filesystem::remove_all(path_); }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_TEMP_FOLDER_H
