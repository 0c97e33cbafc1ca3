#include "segment/segment_sink.h"

#include <string>

#include "base/assert.h"
#include "base/crc32c.h"

namespace klog {
namespace {

Error too_large(SectionType type) {
    return {Code::too_many,
            "the " + std::string(section_name(type)) +
                " of a segment would become larger than a reader takes in",
            "seal or merge less into one segment"};
}

}  // namespace

Status SegmentSink::append(std::string_view bytes) {
    open_.crc = crc32c(bytes, open_.crc);
    open_.stored_bytes += bytes.size();
    while (buffer_.size() + bytes.size() >= kBufferBytes) {
        const std::size_t part = kBufferBytes - buffer_.size();
        buffer_ += bytes.substr(0, part);
        bytes.remove_prefix(part);
        KLOG_TRY(flush());
    }
    buffer_ += bytes;
    return {};
}

Status SegmentSink::flush() {
    if (buffer_.empty()) return {};
    KLOG_TRY(file_->write_at(offset_, buffer_));
    offset_ += buffer_.size();
    buffer_.clear();
    return {};
}

void SegmentSink::begin_section(SectionType type) {
    open_ = {};
    open_.type = static_cast<std::uint16_t>(type);
    open_.critical = section_is_critical(type);
    open_.offset = offset();
}

void SegmentSink::end_section(SegmentCodec codec, std::uint64_t unpacked_bytes,
                              std::uint64_t entries) {
    open_.codec = static_cast<std::uint8_t>(codec);
    open_.unpacked_bytes = unpacked_bytes;
    open_.entries = entries;
    sections_.push_back(open_);
}

Status SegmentSink::add_section(SectionType type, std::string_view bytes, std::uint64_t entries,
                                Packer& packer) {
    std::string packed;
    KLOG_TRY_ASSIGN(const SegmentCodec codec, packer.pack(bytes, packed, false));
    begin_section(type);
    KLOG_TRY(append(codec == SegmentCodec::plain ? bytes : packed));
    end_section(codec, bytes.size(), entries);
    return {};
}

Status SegmentSink::finish() {
    KLOG_TRY(flush());
    return file_->sync_data();
}

Status PagedSection::close_page() {
    if (entries_in_page_ == 0) return {};
    if (page_.size() > kSegmentPageBytesMax) return too_large(type_);
    KLOG_TRY_ASSIGN(const SegmentCodec codec, packer_->pack(page_, packed_, false));
    const std::string& stored = codec == SegmentCodec::plain ? page_ : packed_;
    PageRef page;
    page.stored_bytes = static_cast<std::uint32_t>(stored.size());
    page.unpacked_bytes = static_cast<std::uint32_t>(page_.size());
    page.entries = entries_in_page_;
    page.crc = crc32c(stored);
    page.codec = static_cast<std::uint8_t>(codec);
    KLOG_TRY(sink_->append(stored));
    table_.add(page, key_);
    entries_ += entries_in_page_;
    unpacked_bytes_ += page_.size();
    page_.clear();
    entries_in_page_ = 0;
    return {};
}

Status PagedSection::finish() {
    KLOG_TRY(close_page());
    sink_->end_section(SegmentCodec::plain, unpacked_bytes_, entries_);
    const std::string table = encode_table(table_);
    if (table.size() > kSegmentTableBytesMax) return too_large(table_of(type_));
    return sink_->add_section(table_of(type_), table, table_.pages.size(), *packer_);
}

}  // namespace klog
