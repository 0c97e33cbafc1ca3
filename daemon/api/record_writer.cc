#include "daemon/api/record_writer.h"

#include "daemon/json/record_json.h"

namespace klog::api {
namespace {

// A heartbeat without marks is an empty line, or a comment with the id up to which was looked.
class TextWriter final : public RecordWriter {
public:
    TextWriter(bool events, bool marks) : events_(events), marks_(marks) {}

    void record(std::string& out, const RecordView& record) override {
        if (events_) out += "id: " + std::to_string(record.seq.value) + "\ndata: ";
        json::append_record(out, record, times_);
        if (events_)
            out.push_back('\n');  // the record brought one line feed, a block ends with two
    }

    void heartbeat(std::string& out, Seq read_to, bool head) override {
        if (marks_) return mark(out, read_to, head);
        if (events_ && read_to == Seq{}) {
            out += ":\n\n";  // a reader that takes up an id of 0 would forget its start
        } else if (events_) {
            out += ":\nid: " + std::to_string(read_to.value) + "\n\n";
        } else {
            out.push_back('\n');
        }
    }

    void mark(std::string& out, Seq read_to, bool head) override {
        const std::string seq = std::to_string(read_to.value);
        if (events_) out += "event: mark\nid: " + seq + "\ndata: ";
        out += "{\"mark\":{\"seq\":" + seq + (head ? ",\"head\":true}}\n" : "}}\n");
        if (events_) out.push_back('\n');
    }

    void failure(std::string& out, const Error& error) override {
        if (events_) out += "event: error\ndata: ";
        const CodeInfo& info = code_info(error.code);
        out += "{\"error\":{\"status\":" + std::to_string(info.http_status) + ",\"code\":\"";
        out += info.name;
        out += "\",\"detail\":";
        json::append_quoted(out, error.message);
        if (!error.hint.empty()) {
            out += ",\"hint\":";
            json::append_quoted(out, error.hint);
        }
        out += "}}\n";
        if (events_) out.push_back('\n');
    }

    void close(std::string& /*out*/) override {}
    void end(std::string& /*out*/, bool /*cut*/) override {}

private:
    bool events_;
    bool marks_;
    json::TimeCache times_;
};

}  // namespace

std::unique_ptr<RecordWriter> make_text_writer(bool events, bool marks) {
    return std::make_unique<TextWriter>(events, marks);
}

}  // namespace klog::api
