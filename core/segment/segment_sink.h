// Where the writer of a segment puts its bytes: sections one behind the other, in large writes.
//
// Threads: one at a time.
#ifndef KLOG_SEGMENT_SEGMENT_SINK_H
#define KLOG_SEGMENT_SEGMENT_SINK_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "klog/env.h"
#include "klog/result.h"
#include "segment/segment_codec.h"
#include "segment/segment_format.h"

namespace klog {

class SegmentSink {
public:
    static constexpr std::size_t kBufferBytes = 256U * 1024;

    explicit SegmentSink(std::unique_ptr<File> file) : file_(std::move(file)) {}

    // Errors: disk_full, io.
    Status append(std::string_view bytes);
    [[nodiscard]] std::uint64_t offset() const { return offset_ + buffer_.size(); }

    // A section begins here; what is appended until end_section() is its own.
    void begin_section(SectionType type);
    // Its codec, counts and unpacked size as given.
    void end_section(SegmentCodec codec, std::uint64_t unpacked_bytes, std::uint64_t entries);
    // A section in one piece, packed where that helps.
    Status add_section(SectionType type, std::string_view bytes, std::uint64_t entries,
                       Packer& packer);
    [[nodiscard]] const std::vector<SectionRef>& sections() const { return sections_; }

    // Writes what is buffered and syncs the file. Errors: disk_full, io.
    Status finish();

private:
    Status flush();

    std::unique_ptr<File> file_;
    std::string buffer_;
    std::uint64_t offset_ = 0;  // of the buffer in the file
    SectionRef open_;
    std::vector<SectionRef> sections_;
};

// Writes a paged section and, behind it, its table.
class PagedSection {
public:
    PagedSection(SegmentSink& sink, Packer& packer, SectionType pages)
        : sink_(&sink), packer_(&packer), type_(pages) {
        sink.begin_section(pages);
    }
    // The open page: entries are appended here by the caller, and counted by add().
    [[nodiscard]] std::string& page() { return page_; }
    [[nodiscard]] bool empty() const { return entries_in_page_ == 0; }
    void set_key(std::string_view key) { key_ = key; }
    void add(std::uint32_t entries) { entries_in_page_ += entries; }
    // Errors: disk_full, io, too_many (a page or a table past its limit).
    Status close_page();
    Status finish();

private:
    SegmentSink* sink_;
    Packer* packer_;
    SectionType type_;
    PageTable table_;
    std::string page_;
    std::string packed_;
    std::string key_;
    std::uint32_t entries_in_page_ = 0;
    std::uint64_t entries_ = 0;
    std::uint64_t unpacked_bytes_ = 0;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_SINK_H
