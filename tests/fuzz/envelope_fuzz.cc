// Input envelopes: a line that is accepted, rendered as a record, is accepted again as the same
// one.
#include <string>

#include "daemon/json/guard_json.h"
#include "daemon/json/json_check.h"
#include "daemon/json/record_json.h"
#include "fuzz/fuzz.h"
#include "klog/log.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::size_t kValueBytesMax = 1000;

// A line that may be written to.
struct Line {
    std::string text;
    std::size_t size;
    explicit Line(std::string_view bytes) : text(bytes), size(bytes.size()) {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    Line line(in.rest());
    WriteBatch batch;
    WriteRecord record;
    if (!json::parse_envelope(line.text.data(), line.size, kValueBytesMax, batch, record).ok()) {
        return 0;
    }
    require(record.value.size() <= kValueBytesMax, "the limit of values holds");
    require(
        record.kind != Kind::plain || record.encoding == Encoding::bytes || !record.value.empty(),
        "a plain record has a value");
    require(record.value.find('\n') == std::string_view::npos || record.encoding == Encoding::bytes,
            "a JSON value is one line");
    if (record.guard != nullptr) {
        require(json::check_guard(*record.guard).ok(), "a guard that was read is sound");
    }
    RecordView view;
    view.seq = {7};
    view.version = {record.has_key ? 1U : 0U};
    view.topic = record.topic;
    view.has_key = record.has_key;
    view.key = record.key;
    view.id = record.id;
    view.headers = record.headers;
    view.value = record.value;
    view.kind = record.kind;
    view.encoding = record.encoding;
    view.has_event_time = record.has_event_time;
    view.event_time = record.event_time;
    std::string rendered;
    json::append_record(rendered, view);
    require(rendered.find('\n') == rendered.size() - 1, "a record is one line");
    Line again(std::string_view(rendered).substr(0, rendered.size() - 1));
    WriteBatch second_batch;
    WriteRecord second;
    const Status status =
        json::parse_envelope(again.text.data(), again.size, kValueBytesMax, second_batch, second);
    require(status.ok(), "what was rendered is an envelope");
    require(second.topic == record.topic && second.has_key == record.has_key &&
                second.key == record.key && second.id == record.id,
            "the same names");
    require(second.value == record.value && second.encoding == record.encoding, "the same value");
    require(second.kind == record.kind && second.headers == record.headers, "the same rest");
    require(second.has_event_time == record.has_event_time, "the same event time");
    return 0;
}
