#include "daemon/api/record_writer.h"

namespace klog::api {

void RecordWriter::record(std::string& out, const RecordView& record) {
    if (events_) out += "id: " + std::to_string(record.seq.value) + "\ndata: ";
    json::append_record(out, record, times_);
    if (events_) out.push_back('\n');  // the record brought one line feed, a block ends with two
}

void RecordWriter::heartbeat(std::string& out, Seq read_to, bool head) const {
    if (marks_) return mark(out, read_to, head);
    if (events_) {
        out += ":\nid: " + std::to_string(read_to.value) + "\n\n";
    } else {
        out.push_back('\n');
    }
}

void RecordWriter::mark(std::string& out, Seq read_to, bool head) const {
    const std::string seq = std::to_string(read_to.value);
    if (events_) out += "event: mark\nid: " + seq + "\ndata: ";
    out += "{\"mark\":{\"seq\":" + seq + (head ? ",\"head\":true}}\n" : "}}\n");
    if (events_) out.push_back('\n');
}

void RecordWriter::failure(std::string& out, const Error& error) const {
    if (events_) out += "event: error\ndata: ";
    const CodeInfo& info = code_info(error.code);
    out += "{\"error\":{\"status\":" + std::to_string(info.http_status) + ",\"code\":\"";
    out += info.name;
    out += "\",\"detail\":";
    json::append_quoted(out, error.message);
    out += "}}\n";
    if (events_) out.push_back('\n');
}

}  // namespace klog::api
