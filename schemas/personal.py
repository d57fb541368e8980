"""What is personal: kept apart from facts, so that it can be sealed and erased."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Personal(BaseModel):
    """Names, addresses and free text of one touchpoint. Lives only inside the sealed field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    text: dict[str, str] = Field(default_factory=dict)
    """Free text by what it is: `subject`, `body`, `comment`, `notes`, `label`."""

    def is_empty(self) -> bool:
        """Whether there is nothing here worth sealing."""
        return not (
            self.name or self.emails or self.phones or self.addresses or self.links or self.text
        )
