#include "cli/tail/acker.h"

#include <algorithm>
#include <utility>

namespace klog::cli {
namespace {

constexpr std::chrono::milliseconds kPostWait{30'000};
constexpr std::chrono::milliseconds kRetryMin{20};
constexpr std::chrono::milliseconds kRetryMax{500};

// Something that passes: the daemon is going down, starting, or has too much to do.
bool passes(int status) { return status == 429 || status == 503 || status == 408; }

}  // namespace

Acker::~Acker() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
}

void Acker::start(const Context& context, const std::string& consumer) {
    context_ = &context;
    consumer_ = consumer;
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Acker::await_lease() {
    const std::lock_guard lock(mutex_);
    if (lease_ != 0) last_lease_ = std::exchange(lease_, 0);
}

void Acker::set_lease(std::uint64_t lease) {
    const std::lock_guard lock(mutex_);
    lease_ = lease;
    acked_ = 0;
    changed_.notify_all();
}

void Acker::set(std::uint64_t seq) {
    const std::lock_guard lock(mutex_);
    wanted_ = std::max(wanted_, seq);
    changed_.notify_all();
}

std::optional<Problem> Acker::refused() {
    const std::lock_guard lock(mutex_);
    return refused_;
}

bool Acker::post(std::uint64_t seq, std::uint64_t lease) {
    std::shared_ptr<http::Client> client;
    {
        const std::lock_guard lock(mutex_);
        client = client_;
    }
    if (client == nullptr) {
        auto dialled = dial(*context_);
        if (!dialled) return false;
        client = std::move(dialled).value();
        const std::lock_guard lock(mutex_);
        client_ = client;
    }
    Target target("/v1/consumers");
    target.segment(consumer_).segment("ack");
    http::ClientRequest request = make_request(*context_, "POST", target.text());
    request.headers.emplace_back("Klog-Lease", std::to_string(lease));
    request.content_type = "application/json";
    request.body = "{\"seq\":" + std::to_string(seq) + "}";
    const bool sent = client->send(request).ok();
    const auto head = sent ? client->read_head(kPostWait) : Result<http::ClientResponse>(Error{});
    const auto body =
        head ? client->read_all(kProblemBytesMax, kPostWait) : Result<std::string>(Error{});
    if (body && head->status == 200) return true;
    const std::lock_guard lock(mutex_);
    if (!body || passes(head->status)) {
        client_.reset();
        return false;
    }
    // A connection that was lost has another lease by now.
    if (lease == lease_) refused_ = read_problem(head->status, *body);
    return false;
}

void Acker::run(const std::stop_token& stop) {
    std::chrono::milliseconds pause = kRetryMin;
    std::unique_lock lock(mutex_);
    const auto due = [this] { return lease_ != 0 && wanted_ > acked_ && !refused_; };
    while (changed_.wait(lock, stop, due)) {
        const std::uint64_t seq = wanted_;
        const std::uint64_t lease = lease_;
        lock.unlock();
        const bool arrived = post(seq, lease);
        lock.lock();
        if (arrived) {
            if (lease == lease_) acked_ = seq;
            pause = kRetryMin;
            changed_.notify_all();
        } else if (!refused_) {
            changed_.wait_for(lock, stop, pause, [&] { return lease_ != lease; });
            pause = std::min(pause * 2, kRetryMax);
        } else {
            changed_.notify_all();
        }
        if (stop.stop_requested()) return;
    }
}

Status Acker::close() {
    if (!thread_.joinable()) return {};
    std::uint64_t left = 0;
    {
        std::unique_lock lock(mutex_);
        // No connection came any more; perhaps the daemon is back and the old lease still counts.
        if (lease_ == 0) lease_ = last_lease_;
        changed_.notify_all();
        const auto settled = [this] { return acked_ >= wanted_ || refused_; };
        changed_.wait_for(lock, kCloseWait, settled);
        if (!settled()) left = wanted_;
        if (client_ != nullptr && left != 0) client_->shut_down();
    }
    thread_.request_stop();
    thread_.join();
    if (left == 0) return {};
    return Error{Code::unreachable,
                 "the acknowledgement of seq " + std::to_string(left) +
                     " did not arrive: what came behind the last one will be shown again",
                 "klog consumer ack " + consumer_ + " " + std::to_string(left)};
}

}  // namespace klog::cli
