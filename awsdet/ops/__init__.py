"""The compiled operators; `plain` holds each one's twin."""
