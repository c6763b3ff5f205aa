"""Waits over and over in one way; no wait ends early, late or with an error."""
# variants: sleep select poll pipe connection child lock changing_user alarm pause
import torment

torment.waits()
