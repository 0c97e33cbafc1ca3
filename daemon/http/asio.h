// The parts of Asio that the server uses, set up the same in every file: one thread accepts and
// keeps time, and some may block. Connections are served by io_loop.h.
#ifndef KLOG_DAEMON_HTTP_ASIO_H
#define KLOG_DAEMON_HTTP_ASIO_H

// ThreadSanitizer does not know fences, and g++ refuses them under it. Nothing here relies on them:
// queues order what they run by their own locks.
#if defined(__SANITIZE_THREAD__)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace klog::http {

// Not steady_timer: its type-erased executor costs, and confuses UBSan.
using SteadyTimer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>;

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_ASIO_H
