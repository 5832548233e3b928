// The HTTP server on its own thread and loop, so that /metrics and /-/healthy answer whatever the
// probe loop does. Beast is known to http_server.cpp alone.
#pragma once

#include "exporter/web/options.hpp"

#include <cstdint>
#include <memory>

namespace vitalsd {

class HttpServer {
 public:
  /// Binds; throws boost::system::system_error where that fails, and std::runtime_error where the
  /// certificate cannot be used. Serves from start() on.
  explicit HttpServer(WebOptions options);
  /// Closes all connections and ends the thread.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  /// The port in use, for those who asked for any.
  [[nodiscard]] std::uint16_t port() const;
  /// Whether passwords are being checked: the destructor waits for them, for seconds where a hash
  /// is costly.
  [[nodiscard]] bool checks_passwords() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitalsd
