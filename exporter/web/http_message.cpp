#include "exporter/web/http_message.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/read_size.hpp>
#include <boost/beast/core/string.hpp>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::size_t kChunk = std::size_t{64} << 10;  // bytes of one read or write
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// The status line and the headers, including the empty line after them.
std::string head_of(const WebResponse& response, ResponseFormat format) {
  const beast::string_view reason =
      http::obsolete_reason(static_cast<http::status>(response.status));
  std::string head = format.version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  ((head += std::to_string(response.status)) += ' ').append(reason.data(), reason.size());
  const auto field = [&](std::string_view name, std::string_view value) {
    (((head += "\r\n") += name) += ": ") += value;
  };
  field("Content-Type", response.content_type);
  field("Vary", "Accept, Accept-Encoding");
  field("X-Content-Type-Options", "nosniff");
  if (response.gzip) field("Content-Encoding", "gzip");
  for (const auto& [name, value] : response.headers) field(name, value);
  if (format.version == 10 && format.keep_alive) field("Connection", "keep-alive");
  if (format.version != 10 && !format.keep_alive) field("Connection", "close");
  field("Content-Length", std::to_string(body_size(response)));
  return head += "\r\n\r\n";
}

bool expects_continue(const HttpRequest& request) {
  return request.version() != 10 && beast::iequals(request[http::field::expect], "100-continue");
}

// Rejects headers that a proxy and this server could parse differently, so that the body of one
// request would be taken for the next request (request smuggling).
http::status judge_header(const HttpRequest& request) {
  const bool is_http10 = request.version() == 10;
  const std::size_t hosts = request.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && !is_http10)) return http::status::bad_request;
  const std::size_t encodings = request.count(http::field::transfer_encoding);
  if (encodings > 0) {
    if (is_http10 || request.count(http::field::content_length) > 0) {
      return http::status::bad_request;
    }
    if (encodings > 1 || !beast::iequals(request[http::field::transfer_encoding], "chunked")) {
      return http::status::not_implemented;
    }
  }
  if (request.count(http::field::expect) > 0 && !is_http10 && !expects_continue(request)) {
    return http::status::expectation_failed;
  }
  return http::status::ok;
}

// Parses the content of the buffer, and reads more data if the message is not complete.
asio::awaitable<http::status> read_some(Connection& connection, beast::flat_buffer& buffer,
                                        HttpParser& parser) {
  beast::error_code error = http::error::need_more;
  if (buffer.size() > 0) {
    error = {};
    buffer.consume(parser.put(buffer.data(), error));
  }
  if (error == http::error::header_limit) {
    co_return http::status::request_header_fields_too_large;
  }
  if (error == http::error::body_limit) co_return http::status::payload_too_large;
  if (!error) co_return http::status::ok;
  if (error != http::error::need_more) co_return http::status::bad_request;
  const std::size_t max = beast::read_size(buffer, kChunk);
  buffer.commit(co_await connection.read_some(buffer.prepare(max), error));
  co_return error ? http::status::unknown : http::status::ok;
}

}  // namespace

std::size_t body_size(const WebResponse& response) {
  return response.page ? response.page->size() : response.body.size();
}

asio::awaitable<http::status> read_header(Connection& connection, beast::flat_buffer& buffer,
                                          HttpParser& parser) {
  parser.body_limit(boost::none);  // read_body() applies the limit
  while (true) {
    const http::status status = co_await read_some(connection, buffer, parser);
    if (status != http::status::ok) co_return status;
    if (parser.is_header_done()) co_return judge_header(parser.get());
  }
}

asio::awaitable<http::status> read_body(Connection& connection, beast::flat_buffer& buffer,
                                        HttpParser& parser, std::size_t max) {
  if (parser.content_length().value_or(0) > max) co_return http::status::payload_too_large;
  parser.body_limit(max);  // for a chunked body
  parser.eager(true);
  bool must_continue = expects_continue(parser.get());
  while (!parser.is_done()) {
    if (buffer.size() == 0 && std::exchange(must_continue, false)) {
      co_await connection.write(asio::buffer(kContinue));
    }
    const http::status status = co_await read_some(connection, buffer, parser);
    if (status != http::status::ok) co_return status;
  }
  co_return http::status::ok;
}

asio::awaitable<void> write_response(Connection& connection, const WebResponse& response,
                                     ResponseFormat format) {
  const std::string_view text = response.body;
  std::span<const std::string_view> pieces(&text, 1);
  if (response.page) pieces = response.page->pieces();
  std::string chunk = head_of(response, format);
  if (format.with_body) {
    chunk.reserve(std::min(kChunk, chunk.size() + body_size(response)));
    for (std::string_view piece : pieces) {
      while (!piece.empty()) {
        if (chunk.size() == kChunk) {
          co_await connection.write(asio::buffer(chunk));
          chunk.clear();
        }
        const std::string_view part = piece.substr(0, kChunk - chunk.size());
        chunk += part;
        piece.remove_prefix(part.size());
      }
    }
  }
  co_await connection.write(asio::buffer(chunk));
}

}  // namespace vitalsd
