// The HTTP server. It has its own thread and loop, so that /metrics and /-/healthy respond even if
// the probe loop hangs. Only http_server.cpp and http_message use Beast.
#pragma once

#include "exporter/web/options.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace vitalsd {

class HttpServer {
 public:
  /// Binds and listens. Throws boost::system::system_error if that fails and std::runtime_error if
  /// the certificate or its key cannot be used. start() starts to serve.
  explicit HttpServer(WebOptions options);
  /// Closes all connections and joins the thread.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  /// Replaces the routes for requests to probes. Any thread.
  void set_routes(std::vector<WebRoute> routes);
  /// The bound port, also if the configured port is 0.
  [[nodiscard]] std::uint16_t port() const;
  /// Whether password checks are running. The destructor waits for them, which takes seconds if a
  /// hash has a high cost.
  [[nodiscard]] bool checks_passwords() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vitalsd
