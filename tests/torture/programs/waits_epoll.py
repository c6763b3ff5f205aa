"""Waits in epoll_wait over and over; no wait ends early, late or with an error."""
# A stop ends this call with EINTR. The command mends that, unless it is killed before (MANUAL.md).
# variants: epoll endless_epoll
# loaders: not killed
import torment

torment.waits()
