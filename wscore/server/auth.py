"""Hooks for `serve(authorize=...)`, where programs for Trio look for them; they stand in `session.site.auth`."""

from wscore.session.site.auth import Authorize, Verdict, basic_auth, bearer_auth, jwt_auth

__all__ = ["Authorize", "Verdict", "basic_auth", "bearer_auth", "jwt_auth"]
