// One HTTP request and one response on a connection: the rules and limits of HTTP/1, in coroutines
// that are compiled once. Web thread only.
#pragma once

#include "exporter/web/connection.hpp"
#include "exporter/web/routes.hpp"

#include <cstddef>

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>

namespace vitalsd {

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;
using HttpParser = boost::beast::http::request_parser<boost::beast::http::string_body>;

/// How a response is written.
struct ResponseFormat {
  unsigned version = 11;  ///< of HTTP, in Beast's form: 10 or 11
  bool keep_alive = false;
  bool with_body = true;  ///< false for HEAD
};

/// Reads the header of one request into a new `parser`. Returns `ok`, the status to refuse the
/// request with, or `unknown` if the connection has ended.
boost::asio::awaitable<boost::beast::http::status> read_header(Connection& connection,
                                                               boost::beast::flat_buffer& buffer,
                                                               HttpParser& parser);

/// Reads the body after read_header(), at most `max` bytes. Returns the same statuses as
/// read_header(). Bytes of the next request stay in `buffer`.
boost::asio::awaitable<boost::beast::http::status> read_body(Connection& connection,
                                                             boost::beast::flat_buffer& buffer,
                                                             HttpParser& parser, std::size_t max);

/// Writes the response, or throws. A connection copies at most 64 KiB of a page at a time, so many
/// slow scrapers need little memory.
boost::asio::awaitable<void> write_response(Connection& connection, const WebResponse& response,
                                            ResponseFormat format);

/// The size of the response's body in bytes.
std::size_t body_size(const WebResponse& response);

}  // namespace vitalsd
