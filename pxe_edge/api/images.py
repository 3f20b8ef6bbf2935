"""The image store over REST."""

from fastapi import APIRouter

router = APIRouter(prefix="/v1/images", tags=["images"])
